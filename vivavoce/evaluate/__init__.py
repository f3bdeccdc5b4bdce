"""Measure speech.

plan   what to score: a request becomes groups of clips
clips  where clips come from: sentences, audio files, shards of recordings
judge  score one clip
store  clips and scores kept between runs
table  averages over voices, and the printed table
worker score clips on a Ray cluster
run    all of it: `vivavoce evaluate`
"""
