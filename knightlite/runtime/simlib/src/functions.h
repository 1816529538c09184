/* exp, log and what follows from them, operation by operation as docs/numerics.md has them: float64
 * with nothing but + - * / and powers of two. The same bytes on every processor, and from numpy. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

double exponential(double x);
double logarithm(double x);
double hyperbolic_tangent(double x);
double logistic(double x);
double power(double x, double y);

#endif
