/* SPDX-License-Identifier: MIT */
/* Is OpenMP there, headers and library? */
#include <omp.h>

int main(void)
{
    return omp_get_max_threads() == 0;
}
