"""NATS request and reply: the endpoints of HTTP once more, as the micro service `rollbook`. No rule, no route is here.

`verbs.py` names each endpoint, `message.py` turns a message into the request it stands for and an answer into a reply,
`schemas.py` says what goes in and out, `service.py` listens.
"""
