"""From a model's name to networks with weights.

resolve               names -> folders and files; config.json
published             published nanospeech and Vocos: configs from tensors, tensor names -> ours
whisperspeech         the same for published WhisperSpeech, Whisper and ECAPA-TDNN
weights               loading a nanospeech folder or a vocoder, for either backend
weights_torch         tensors -> PyTorch networks
weights_mlx           tensors -> MLX networks
weights_onnx          tensors -> ONNX graphs; onnx_torch and onnx_graphs_torch write these
frames                the parts of whisperspeech in step with the text
whisperspeech_torch   the parts of the whisperspeech engine; conversion of published files
aligner_torch         an exported aligner
difference            a trained voice's difference to the weights of the bundled models
pickle_torch          PyTorch's pickles, read as data
ctranslate2           Whisper in CTranslate2's format
"""
