"""Measures of speech: word errors (words, asr), speaker similarity (similarity), predicted opinions (mos, mos_torch),
speaking rate (dsp). `packages` imports what the extra `eval` installs.

Knows nothing about models, or about where clips come from.
"""
