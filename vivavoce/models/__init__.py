"""The networks. A file without a backend in its name has the settings and what the backends share.

nanospeech     text to mel frames by flow matching, and durations: nanospeech_torch, nanospeech_mlx, nanospeech_onnx
vocoder        mel frames or codes to a waveform: vocoder_torch, vocoder_mlx
whisperspeech  text to semantic tokens to acoustic tokens: whisperspeech_torch, on transformer_torch
masked_t2s     whisperspeech's T2S in step with the text: masked_t2s_torch, masked_t2s_mlx, masked_t2s_onnx
semantic       semantic tokens from Whisper's encoder: semantic_torch
codec          acoustic tokens: codec_torch
aligner        the frames of a text's characters in a recording: aligner_torch
speaker        speaker vectors: speaker_torch, speaker_mlx; ecapa_torch for published WhisperSpeech models
mel            waveform to log-mel frames: mel_torch, mel_mlx
solvers        noise, schedules and solvers for flow matching
"""
