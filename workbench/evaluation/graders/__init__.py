"""Who reads an answer: one grader a file, none of which runs what a model wrote."""
