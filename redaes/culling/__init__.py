"""Cull a folder of photographs: group them into series, rank each, and write files that photographers' tools read."""
