"""Local servers that stand in for AWS in the tests of publishing.

`moto.py` starts a real moto server process. `gateway.py` stands in front of it: it records every call, makes chosen
calls fail, and keeps what moto leaves out of calls that it has (client tokens, tags of copies). `model_server.py`
answers the calls that moto has not at all, by botocore's own service model. None of them proves what AWS itself does:
eventual consistency, quotas, permissions and timing are not there.
"""
