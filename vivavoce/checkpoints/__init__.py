"""From a model's name to networks with weights.

resolve               names -> folders and files; config.json
published             published nanospeech and Vocos: configs from tensors, tensor names -> ours
whisperspeech         the same for published WhisperSpeech, Whisper and ECAPA-TDNN
weights               loading a nanospeech folder or a vocoder, for either backend
weights_torch         tensors -> PyTorch networks
weights_mlx           tensors -> MLX networks
whisperspeech_torch   the parts of the whisperspeech engine; conversion of published files
aligner_torch         an exported aligner
pickle_torch          PyTorch's pickles, read as data
"""
