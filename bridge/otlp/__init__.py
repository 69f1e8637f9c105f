"""Large export requests taken apart into small ones, before anybody reads what they say.

``pieces``    a body → small bodies of the same kind, which together hold the same records
``wire``      how for protobuf
``documents`` how for JSON
``inflating`` a body without its gzip layer, held against a limit

Shared by ``receive``, which counts piece by piece, and ``decode``, which reads piece by piece:
built whole, the objects of a 64 MB body are several times its size.
"""
