"""`vivavoce train-voice`: from a folder of recordings to a voice that `--voice NAME` speaks.

settings    what a run is told
recordings  find recordings, and cut long ones at pauses
clips       clips with their words, in shards; the checks
fit         recipes for the base model, and the time that training gets
choose      which checkpoint sounds most like the speaker and is understood
report      report.html, the model card, curves
scripts     sentences to record
run         the stages, one after another
"""
