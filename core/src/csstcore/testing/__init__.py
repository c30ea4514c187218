"""For plugin authors: an isolated registry, fakes, comparisons and contract tests.

The fixtures come with the installed pytest plugin; the contract tests with one line in a test
module (`csstcore.testing.contract`).
"""
