"""From a file to an audiobook: read chapters or subtitles, speak them section by section, resume after a stop.

book           Book, Chapter, Cue: what every reader returns
readers        read a file in any format
txt, markdown, html, epub, cues, documents, rtf, pdf, web    one module for each format
archive        the zip file of an epub, docx or odt, within limits
decode         bytes to text
matter, notes  front matter and footnotes
metadata       author, year, series and cover of an epub
dialogue       voices for the speakers of a book
narrate        Narration: a book -> sound files
track          what a narration collects for one output file
overlay        EPUB 3 with the text and the speech in step
original       the author's spelling for spoken words
feed           a podcast of a folder of chapters
section_store  finished sections of a long text, kept on disk
subtitles      words with times -> srt, vtt
"""
