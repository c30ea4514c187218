"""For plugin authors: an isolated registry, comparisons and contract tests."""
