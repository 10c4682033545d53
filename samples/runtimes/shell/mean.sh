# The mean of the numbers in /dataset/*.txt. The working directory is the package.
set -eu
. ./lib/words.sh
cat /dataset/*.txt | words | awk '
  { sum += $1 }
  END { printf "%.2f\n", sum / NR > "/output/mean.txt"; printf "shell: %d numbers, mean %.2f\n", NR, sum / NR }'
