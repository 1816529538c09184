/* exp, log and what follows from them, operation by operation as docs/numerics.md has them: float64
 * with nothing but + - * / and powers of two. The same bytes on every processor, and from numpy. */
#ifndef KNL_FUNCTIONS_H
#define KNL_FUNCTIONS_H

double knl_exponential(double x);
double knl_logarithm(double x);
double knl_hyperbolic_tangent(double x);
double knl_logistic(double x);
double knl_power(double x, double y);

#endif
