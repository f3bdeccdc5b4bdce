"""Training.

Read in this order: config (settings of every run); tasks/ (what is trained: tasks/base.py first); trainer (the loop),
with precision, optimizer, ema, adversarial, early_stopping, interrupt, run_folder, run_log, checkpoint and mirror (its
copy at a URL); batches and stream (the data); init_from (`--from`) and export. The rest are losses and targets: losses,
harmonics, discriminators, distillation, alignment, pronunciations, auxiliary_losses (nanospeech) and auxiliary_models
(whisperspeech).
"""
