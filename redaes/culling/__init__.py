"""A folder of photographs: grouped into series, each ranked, the result as files that photographers' tools read."""
