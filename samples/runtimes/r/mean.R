# The mean of the numbers in /dataset/*.txt.
files <- Sys.glob("/dataset/*.txt")
numbers <- unlist(lapply(files, scan, quiet = TRUE))
writeLines(sprintf("%.2f", mean(numbers)), "/output/mean.txt")
cat(sprintf("r: %d numbers, mean %.2f\n", length(numbers), mean(numbers)))
