/* The mean of the numbers in /dataset/*.txt, computed by libmean.so. */
#include <glob.h>
#include <stdio.h>

#define MOST 1000

double mean(const double* numbers, int count);

int main(void) {
  static double numbers[MOST];
  int count = 0;
  glob_t found;
  if (glob("/dataset/*.txt", 0, NULL, &found) != 0) return 1;
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    FILE* file = fopen(found.gl_pathv[i], "r");
    if (file == NULL) return 1;
    while (count < MOST && fscanf(file, "%lf", &numbers[count]) == 1) ++count;
    fclose(file);
  }
  if (count == 0) return 1;
  FILE* out = fopen("/output/mean.txt", "w");
  if (out == NULL || fprintf(out, "%.2f\n", mean(numbers, count)) < 0 || fclose(out) != 0) return 1;
  return printf("library: %d numbers, mean %.2f\n", count, mean(numbers, count)) < 0;
}
