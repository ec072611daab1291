//! Statistics of numbers, computed step by step as DuckDB computes them, so that the last digits agree.

/// The sum of squared distances from the mean (Welford's algorithm).
fn squares(xs: &[f64]) -> f64 {
    let (mut mean, mut squares) = (0.0, 0.0);
    for (i, x) in xs.iter().enumerate() {
        let difference = x - mean;
        mean += difference / (i + 1) as f64;
        squares += difference * (x - mean);
    }
    squares
}

/// None of no number.
pub fn variance_pop(xs: &[f64]) -> Option<f64> {
    match xs.len() {
        0 => None,
        1 => Some(0.0),
        n => Some(squares(xs) / n as f64),
    }
}

/// None of fewer than two numbers.
pub fn variance_samp(xs: &[f64]) -> Option<f64> {
    (xs.len() > 1).then(|| squares(xs) / (xs.len() - 1) as f64)
}

/// Sums of powers.
pub struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
    cubes: f64,
    fourths: f64,
}

impl Moments {
    pub fn of(xs: &[f64]) -> Moments {
        let power = |n: f64| xs.iter().map(|x| x.powf(n)).fold(0.0, |a, b| a + b);
        Moments { count: xs.len() as f64, sum: power(1.0), squares: power(2.0), cubes: power(3.0), fourths: power(4.0) }
    }

    /// Corrected for the sample; None of fewer than three numbers.
    pub fn skewness(&self) -> Option<f64> {
        let n = self.count;
        if n <= 2.0 {
            return None;
        }
        let temp = 1.0 / n;
        let deviation = (temp * (self.squares - self.sum * self.sum * temp)).powf(3.0).max(0.0).sqrt();
        if deviation == 0.0 {
            return Some(f64::NAN);
        }
        let correction = (n * (n - 1.0)).sqrt() / (n - 2.0);
        let third = self.cubes - 3.0 * self.squares * self.sum * temp + 2.0 * self.sum.powf(3.0) * temp * temp;
        Some(correction * temp * third / deviation)
    }

    /// The excess kurtosis; `sample`: corrected for a sample, which wants four numbers.
    pub fn kurtosis(&self, sample: bool) -> Option<f64> {
        let n = self.count;
        if n <= 1.0 || (sample && n <= 3.0) {
            return None;
        }
        let temp = 1.0 / n;
        let second = temp * (self.squares - self.sum * self.sum * temp);
        let fourth = temp
            * (self.fourths - 4.0 * self.cubes * self.sum * temp + 6.0 * self.squares * self.sum * self.sum * temp * temp
                - 3.0 * self.sum.powf(4.0) * temp.powf(3.0));
        if second <= 0.0 {
            return None;
        }
        if !sample {
            return Some(fourth / (second * second) - 3.0);
        }
        Some((n - 1.0) * ((n + 1.0) * fourth / (second * second) - 3.0 * (n - 1.0)) / ((n - 2.0) * (n - 3.0)))
    }
}
