/* The mean of the numbers in /dataset/*.txt, without any library of its own. */
#include <glob.h>
#include <stdio.h>

int main(void) {
  glob_t found;
  if (glob("/dataset/*.txt", 0, NULL, &found) != 0) return 1;
  double sum = 0;
  int count = 0;
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    FILE* file = fopen(found.gl_pathv[i], "r");
    if (file == NULL) return 1;
    for (double number; fscanf(file, "%lf", &number) == 1; ++count) sum += number;
    fclose(file);
  }
  if (count == 0) return 1;
  FILE* out = fopen("/output/mean.txt", "w");
  if (out == NULL || fprintf(out, "%.2f\n", sum / count) < 0 || fclose(out) != 0) return 1;
  return printf("native: %d numbers, mean %.2f\n", count, sum / count) < 0;
}
