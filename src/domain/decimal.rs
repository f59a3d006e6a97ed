//! Exact numbers out of JSON number texts, for whoever reads a foreign document. No float, at any size.

/// `coefficient / 10^scale`, reduced: `scale` is zero for every whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    pub coefficient: i64,
    pub scale: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// A whole number beyond 64 bits.
    TooLarge,
    /// A fraction with more digits than 64 bits hold.
    TooFine,
}

/// Reads a valid JSON number: `1099`, `1099.0`, `1.099e3` are one number.
pub fn decimal(raw: &str) -> Result<Decimal, Misfit> {
    if let Ok(coefficient) = raw.parse() {
        return Ok(Decimal { coefficient, scale: 0 });
    }
    let (mantissa, exponent) = raw.split_once(['e', 'E']).unwrap_or((raw, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches(['-', '0']);
    if significant.is_empty() {
        return Ok(Decimal { coefficient: 0, scale: 0 });
    }

    // An exponent that does not fit is as good as the largest one: the number fits neither way.
    let limit = if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 };
    let exponent = exponent.parse::<i64>().map_or(limit, |exponent| exponent.clamp(i64::MIN / 4, i64::MAX / 4));
    let trimmed = significant.trim_end_matches('0');
    let scale = fraction.len() as i64 - exponent - (significant.len() - trimmed.len()) as i64;

    let misfit = if scale > 0 { Misfit::TooFine } else { Misfit::TooLarge };
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let coefficient: i64 = format!("{sign}{trimmed}").parse().map_err(|_| misfit)?;
    if scale >= 0 {
        return Ok(Decimal { coefficient, scale: u32::try_from(scale).map_err(|_| misfit)? });
    }
    let factor = u32::try_from(-scale).ok().and_then(|zeros| 10_i64.checked_pow(zeros)).ok_or(misfit)?;
    let coefficient = coefficient.checked_mul(factor).ok_or(misfit)?;
    Ok(Decimal { coefficient, scale: 0 })
}

/// Whether a text is an optional sign and digits, as in `"1250"`.
pub fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_reading_however_it_is_written() {
        for raw in ["1099", "1099.0", "1099.000", "1.099e3", "10990E-1", "0.001099e+6", "109900000000000000000000e-20"]
        {
            assert_eq!(decimal(raw), Ok(Decimal { coefficient: 1099, scale: 0 }), "{raw}");
        }
    }

    #[test]
    fn fractions_are_exact() {
        assert_eq!(decimal("1.5"), Ok(Decimal { coefficient: 15, scale: 1 }));
        assert_eq!(decimal("-0.250"), Ok(Decimal { coefficient: -25, scale: 2 }));
        assert_eq!(decimal("0.1e-3"), Ok(Decimal { coefficient: 1, scale: 4 }));
    }

    #[test]
    fn zero_is_zero_in_every_form() {
        for raw in ["0", "-0", "0.0", "-0.00e9", "0e99999999999999999999"] {
            assert_eq!(decimal(raw), Ok(Decimal { coefficient: 0, scale: 0 }), "{raw}");
        }
    }

    #[test]
    fn the_whole_range_of_64_bits_is_read_and_nothing_beyond() {
        assert_eq!(decimal("9223372036854775807.0").map(|d| d.coefficient), Ok(i64::MAX));
        assert_eq!(decimal("-9223372036854775808.0").map(|d| d.coefficient), Ok(i64::MIN));
        for raw in ["9223372036854775808", "-9223372036854775809", "1e19", "1e99999999999999999999"] {
            assert_eq!(decimal(raw), Err(Misfit::TooLarge), "{raw}");
        }
    }

    #[test]
    fn a_fraction_beyond_64_bits_is_not_taken_for_a_large_number() {
        assert_eq!(decimal("0.12345678901234567890123"), Err(Misfit::TooFine));
        assert_eq!(decimal("1e-99999999999999999999"), Err(Misfit::TooFine));
    }
}
