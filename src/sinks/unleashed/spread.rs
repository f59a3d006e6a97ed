//! Spreads an amount over others in proportion, to the last minor unit.

/// What each of the weights gets of an amount: its share rounded down, and then a minor unit more for those that lost most by
/// that, the first of equals first. None: they come to less than the amount. Weights and amount are not negative.
pub fn spread(amount: i64, weights: &[i64]) -> Option<Vec<i64>> {
    let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    let amount = i128::from(amount);
    if amount > whole {
        return None;
    }
    if amount == 0 {
        return Some(vec![0; weights.len()]);
    }
    let mut shares: Vec<i64> = weights.iter().map(|weight| (amount * i128::from(*weight) / whole) as i64).collect();
    let left = amount - shares.iter().map(|share| i128::from(*share)).sum::<i128>();
    let mut by_loss: Vec<usize> = (0..weights.len()).collect();
    by_loss.sort_by_key(|at| std::cmp::Reverse(amount * i128::from(weights[*at]) % whole));
    for at in by_loss.into_iter().take(left as usize) {
        shares[at] += 1;
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_largest_remainder_gets_the_last_penny() {
        assert_eq!(spread(500, &[2190, 290]), Some(vec![442, 58]));
        assert_eq!(spread(1, &[5, 5]), Some(vec![1, 0]));
        assert_eq!(spread(10, &[5, 5]), Some(vec![5, 5]));
        assert_eq!(spread(11, &[5, 5]), None);
        assert_eq!(spread(1, &[]), None);
        assert_eq!(spread(0, &[0]), Some(vec![0]));
    }

    proptest! {
        #[test]
        fn what_is_spread_adds_up_and_makes_nothing_negative(
            weights in prop::collection::vec(0..1_000_000_i64, 1..20),
            part in 0..=1_000_u32,
        ) {
            let amount = weights.iter().sum::<i64>() * i64::from(part) / 1_000;

            let shares = spread(amount, &weights).unwrap();

            prop_assert_eq!(shares.iter().sum::<i64>(), amount);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(*share >= 0 && share <= weight);
            }
        }
    }
}
