"""`vivavoce serve`: OpenAI's speech API over HTTP, with extensions; also `vivavoce mcp` and `vivavoce wyoming`.

run, settings                 start and stop the server; its settings
app                           the application: routes
speech, stream                POST /v1/audio/speech, and the WebSocket below it
voices, aliases               added voices; names that stand for voices
studio                        voices that are made in the page
schemas, studio_schemas       shapes of requests and answers
errors, logs, metrics         errors as OpenAI has them; the log; Prometheus
middleware, connections       what every request passes; limits below HTTP
pool, worker, messages        worker processes, and the messages to and from them
encoders                      samples to the bytes of a file, while they are generated
decode, books, book_process   uploads, read in a sandbox
sandbox                       a process of limited memory and time
browser_page                  the page that speaks in the browser
mcp_server, wyoming_server    the other protocols; announce: the latter on the local network
"""
