package results

import (
	"errors"
	"math"
)

// ErrTooFew says that a spread cannot be told from fewer than two pairs.
var ErrTooFew = errors.New("needs at least 2 pairs")

// Paired is the difference b - a of two measurements of the same units, here of the same seeds.
type Paired struct {
	N      int     // pairs
	Mean   float64 // mean difference
	SD     float64 // sample standard deviation of the differences
	Lo, Hi float64 // two-sided t interval of the mean at the asked level
	P      float64 // two-sided p value of "no difference"; 1 where all differences are 0
}

// PairedT compares a and b pair by pair; level is the interval's, such as 0.95. The lengths must agree.
func PairedT(a, b []float64, level float64) (Paired, error) {
	d, err := differences(a, b)
	if err != nil {
		return Paired{}, err
	}
	p := Paired{N: len(d)}
	p.Mean, p.SD = MeanSD(d)
	se, df := p.SD/math.Sqrt(float64(p.N)), float64(p.N-1)
	half := se * tQuantile((1+level)/2, df)
	p.Lo, p.Hi = p.Mean-half, p.Mean+half
	p.P = 2 * upperTail(math.Abs(p.Mean), se, df)
	return p, nil
}

// TOST gives the p value of two one-sided t tests for equivalence: small means that the mean difference b - a lies inside
// -margin..margin.
func TOST(a, b []float64, margin float64) (float64, error) {
	d, err := differences(a, b)
	if err != nil {
		return 0, err
	}
	if !(margin > 0) {
		return 0, errors.New("equivalence margin must be positive")
	}
	mean, sd := MeanSD(d)
	se, df := sd/math.Sqrt(float64(len(d))), float64(len(d)-1)
	return math.Max(upperTail(mean+margin, se, df), upperTail(margin-mean, se, df)), nil
}

// Needed estimates how many pairs TOST would want to show equivalence at the level alpha if mean and deviation stay as they
// are; 0 where none would (the mean lies outside the margin) or more than 1,000.
func (p Paired) Needed(margin, alpha float64) int {
	room := margin - math.Abs(p.Mean)
	if !(room > 0) {
		return 0
	}
	for n := 2; n <= 1000; n++ {
		if tTail(room*math.Sqrt(float64(n))/p.SD, float64(n-1)) < alpha {
			return n
		}
	}
	return 0
}

// MeanSD returns mean and sample standard deviation; the deviation of a single value is NaN.
func MeanSD(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	var sum, rest float64
	for _, v := range x {
		sum += (v - mean) * (v - mean)
		rest += v - mean
	}
	n := float64(len(x))
	return mean + rest/n, math.Sqrt(math.Max(0, sum-rest*rest/n) / (n - 1))
}

func differences(a, b []float64) ([]float64, error) {
	if len(a) != len(b) {
		return nil, errors.New("pairs: the two sides differ in length")
	}
	if len(a) < 2 {
		return nil, ErrTooFew
	}
	d := make([]float64, len(a))
	for i := range a {
		d[i] = b[i] - a[i]
	}
	return d, nil
}

// upperTail is P(T > x/se); without any spread it is 0, 1/2 or 1.
func upperTail(x, se, df float64) float64 {
	if se == 0 {
		switch {
		case x > 0:
			return 0
		case x == 0:
			return 0.5
		}
		return 1
	}
	return tTail(x/se, df)
}

// tTail is P(T > t) of Student's distribution with df degrees of freedom.
func tTail(t, df float64) float64 {
	p := incompleteBeta(df/2, 0.5, df/(df+t*t)) / 2
	if t < 0 {
		return 1 - p
	}
	return p
}

// tQuantile inverts the distribution for p > 1/2 by halving the interval until it is one float wide.
func tQuantile(p, df float64) float64 {
	lo, hi := 0.0, 1.0
	for tTail(hi, df) > 1-p {
		hi *= 2
	}
	for {
		mid := lo + (hi-lo)/2
		if mid <= lo || mid >= hi {
			return hi
		}
		if tTail(mid, df) > 1-p {
			lo = mid
		} else {
			hi = mid
		}
	}
}

// incompleteBeta is the regularised incomplete beta function I_x(a, b), by Lentz's continued fraction.
func incompleteBeta(a, b, x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) {
		return 1 - incompleteBeta(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	const tiny = 1e-300
	c, d := 1.0, 1-(a+b)*x/(a+1)
	if math.Abs(d) < tiny {
		d = tiny
	}
	d = 1 / d
	f := d
	for m := 1.0; m < 500; m++ {
		for _, k := range []float64{
			m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)),
		} {
			d = 1 + k*d
			c = 1 + k/c
			if math.Abs(d) < tiny {
				d = tiny
			}
			if math.Abs(c) < tiny {
				c = tiny
			}
			d = 1 / d
			f *= d * c
		}
		if math.Abs(d*c-1) < 1e-16 {
			break
		}
	}
	return front * f
}
