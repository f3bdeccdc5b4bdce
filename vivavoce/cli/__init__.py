"""The command line.

main                                        the commands
group                                       how a command line is read
speak, convert_voice, voices, record        commands that are long enough for a module of their own
reading                                     commands for reading aloud every day
options, *_flags                            flags, in groups that commands combine
inputs                                      the text, the voice and the output that the flags name
defaults                                    flags from the environment and a config file
terminal                                    exit statuses, messages, the progress bar
keys, clipboard, speechd_module             keys while speech is played, the clipboard, screen readers
"""
