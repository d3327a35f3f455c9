# shellcheck shell=bash
# What the batch scripts share; they source it in the repository root, on the first node of the job.
#
# A stage is done where its COMPLETE is there. A job that ends without it goes back into the queue (training resumes
# from its newest checkpoint), at most `requeues` times, but not
#   - after exit code 2 (a user's error) or 3 (training found something wrong): the same would come again;
#   - after SIGTERM, but the time limit's: the job was cancelled, or preempted, and then Slurm itself requeues it.
# Slurm sends SIGUSR1 three minutes before the time limit: it is forwarded to training, and the job requeued.
# shellcheck source=launch/slurm/site.env
. launch/slurm/site.env
prepare_site

told=""    # the signal that was sent to this job
running="" # the process id of srun
stuck=""   # whether training ended without a new checkpoint
code=0     # the exit code of the last step

fail() { # fail CODE MESSAGE
  echo "error: $2" >&2
  exit "$1"
}

forward() { # forward SIGNAL: remembers it, and has srun hand it to the tasks
  told=$1
  interrupted=yes
  echo "SIG$1: forwarded to the tasks" >&2
  # As SIGUSR1, whichever came: at a SIGTERM of its own srun kills its tasks (22.05), which could then not save.
  [ -z "$running" ] || kill -s USR1 "$running" 2>/dev/null || :
}
trap 'forward USR1' USR1
trap 'forward TERM' TERM

nodes=${SLURM_JOB_NUM_NODES:-1}
gpus=${SLURM_GPUS_ON_NODE:-${SLURM_GPUS_PER_NODE:-}}
gpus=${gpus##*:} # h100:8
case $gpus in
  "" | *[!0-9]* | 0) fail 2 "the job has no GPUs: sbatch --nodes 1 --gpus-per-node 8 ..." ;;
esac
cpus=$((${SLURM_CPUS_ON_NODE:-$gpus} / gpus))
[ "$cpus" -ge 1 ] || cpus=1
unset SLURM_CPUS_PER_GPU # srun would read it, and refuse it beside --cpus-per-task
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
export MASTER_ADDR=${hosts%%$'\n'*}
export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
# One task of an array is named so: the job id of its last task means the whole array to scontrol.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-$SLURM_JOB_ID}

ask() { # ask FORMAT: prints what squeue says of this job, times in Unix seconds; nothing where it does not answer
  SLURM_TIME_FORMAT=%s squeue --noheader --jobs="$job" --format="$1" 2>/dev/null || :
}

ends=$(ask %e) # training saves in time; Slurm 22.05 does not say so by itself
case $ends in "" | *[!0-9]*) ;; *) export SLURM_JOB_END_TIME=$ends ;; esac

step() { # step SCRIPT ARGUMENT...: one task per GPU; leaves its exit code in `code`
  code=0
  if [ -n "$told" ]; then # before anything ran
    code=1
    return 0
  fi
  # No --kill-on-bad-exit: a task that says what is wrong would have its exit code hidden by those killed beside it.
  srun --nodes="$nodes" --ntasks="$((nodes * gpus))" --ntasks-per-node="$gpus" --cpus-per-task="$cpus" \
    --kill-on-bad-exit=0 --wait=60 "${srun_options[@]}" "${inside[@]}" "$python" "$@" &
  running=$!
  while :; do # a signal ends `wait`, not srun
    interrupted=""
    code=0
    wait "$running" || code=$?
    [ -n "$interrupted" ] || break
  done
  running=""
}

stage_folder() { # stage_folder STAGE RECIPE [key=value ...]: prints it; fails in a line where the stage cannot start
  srun --nodes=1 --ntasks=1 --ntasks-per-node=1 "${srun_options[@]}" "${inside[@]}" \
    "$python" -m lingualift_ds.cli.slurm "$@" | tail -n 1
}

stage_numbers() { # stage_numbers RECIPE [key=value ...]: prints the stages that the recipe states, in order
  srun --nodes=1 --ntasks=1 --ntasks-per-node=1 "${srun_options[@]}" "${inside[@]}" \
    "$python" -m lingualift_ds.cli.slurm all "$@" | tail -n 1
}

train() { # train STAGE RECIPE [key=value ...]: returns where the stage is complete, else ends the job
  local stage=$1 recipe=$2 folder
  folder=$(stage_folder "$@")
  shift 2
  newest=$(cat "$folder/checkpoints/latest" 2>/dev/null || :)
  step launch/train.py --stage "$stage" --config "$recipe" "$@"
  if [ "$code" -ne 2 ] && [ "$code" -ne 3 ] && [ -f "$folder/COMPLETE" ]; then
    echo "stage $stage: $folder/COMPLETE"
    return 0
  fi
  [ "$newest" != "$(cat "$folder/checkpoints/latest" 2>/dev/null || :)" ] || stuck=yes
  again "$folder/COMPLETE"
}

again() { # again MARKER: the step ended without it; requeues the job or fails, and ends this script
  local restarts=${SLURM_RESTART_COUNT:-0}
  case $code in
    2 | 3) fail "$code" "exit code $code: not requeued, the same would come again" ;;
  esac
  # Asked, too: where tasks elsewhere end first, this script goes on before its own SIGTERM comes.
  case $(ask "%T %r") in
    *TimeLimit*) told=USR1 ;; # training did not leave in time
    COMPLETING* | CANCELLED* | PREEMPTED*) told=TERM ;;
  esac
  [ "$told" != TERM ] || fail 143 "SIGTERM, and no $1: Slurm decides whether the job comes back"
  [ "$code" -ne 0 ] || [ "$told" = USR1 ] || fail 1 "exit code 0, but no $1"
  # A traceback may be a bad node's, once or twice; then the same would come again.
  if [ "$code" -eq 1 ] && [ -z "$told" ] && [ "$stuck" ] && [ "$restarts" -ge 2 ]; then
    fail 1 "exit code 1 and no new checkpoint, after $restarts restarts: not requeued"
  fi
  [ "$code" -ne 0 ] || code=1
  [ "$restarts" -lt "$requeues" ] || fail "$code" "exit code $code and no $1 after $restarts restarts: not requeued"
  echo "exit code $code and no $1: requeued, restart $((restarts + 1)) of $requeues" >&2
  trap '' USR1 TERM # Slurm ends what it requeues, this script too
  scontrol requeue "$job" || fail "$code" "scontrol requeue $job failed"
  exit "$code"
}
