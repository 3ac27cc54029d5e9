"""HTTP: commands in, queries out, the description of both. Rules, read models and the log are in the libraries.

A request goes through `edge.py` (id, count, full house) and Litestar's router to `endpoint.py`, which knows who may do
it (`access.py`), reads path, query and body (`decoding.py`) and calls one function of `routes/`. That makes a command
or a query and answers with a view (`views.py`) or a refusal (`errors.py`). `openapi.py` describes what they declare.
"""
