"""What can be trained: one task for each kind of model.

base                 what the trainer needs to know of a model
registry             the tasks by name
nanospeech           the flow-matching model
duration, aligner    the length of each character; its frames in a recording
text                 base of these three
vocoder              Vocos, and its harmonic network
semantic, codec      the tokens of whisperspeech
tokens, masked_t2s   its T2S and S2A; its T2S in step with the text
token_source, codes  token shards as training data, and as a feature of recordings
"""
