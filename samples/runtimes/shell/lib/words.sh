# One word a line.
words() { tr -s ' \n' '\n\n'; }
