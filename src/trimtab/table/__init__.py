"""A file or a frame becomes tensors: read, schema, split, encode. Knows neither torch nor the search."""
