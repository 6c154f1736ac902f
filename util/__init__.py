"""Everything around the graph: data, features, video, scores, pictures. Imports nothing of the graph."""
