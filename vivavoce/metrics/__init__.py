"""What speech is worth: word errors (words, asr), speaker similarity (similarity), predicted opinions (mos), speaking
rate (dsp). Knows nothing about models or about where clips come from."""
