"""`vivavoce train-voice`: from a folder of recordings to a voice that `--voice NAME` speaks.

settings    the options of a run
recordings  find recordings, and cut long ones at pauses
clips       clips with their words, in shards; the checks
fit         recipes for the base model, and the time that training gets
choose      which checkpoint sounds most like the speaker and is understood
report      report.html, the model card, curves
state       how far a run is, for whoever watches its folder
scripts     sentences to record
studio      voices that are being made in the page of the server; refusals: why it says no
run         the stages, one after another
"""
