"""Training samples and the shards that hold them.

samples   the description of a sample: KEY.json and its audio; Utterance, SampleSource
tar       shards as tar files: ShardWriter, read_shard; damage is reported with its place
fetch     shards by name: globs, ranges, URLs; retries
tokens    token shards, which the whisperspeech models train on
"""
