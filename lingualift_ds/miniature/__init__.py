"""A miniature world in which LinguaLIFT's claim can be seen on two CPU cores in minutes.

world      the seven languages: words, agreement and sentence frames
problems   word problems and sentences, one scenario rendered in any language
tokenizers the stand-ins' two tokenizers
standins   a tiny multilingual encoder and a tiny English LLM, trained from nothing
lexicons/  English word lists into each other language
"""
