"""What is counted in the labels of a data set, and the files that keep it."""
