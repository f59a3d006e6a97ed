//! What happens to texts before they are kept: numbers of cards are masked, postal codes are checked.

/// How many digits the number of a card has.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Without what looks like the number of a payment card.
///
/// Observed (summary of Lightspeed, "Data security"): it is masked without a word. Assumed: 13 to 19 digits with a right
/// check digit, with blanks or hyphens between them, of which the last four are left.
pub(super) fn masked(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < letters.len() {
        let run = run_of_digits(&letters[at..]);
        if is_card(&run.iter().map(|offset| letters[at + offset]).collect::<Vec<char>>()) {
            for offset in &run[..run.len() - 4] {
                letters[at + offset] = '*';
            }
        }
        at += run.last().map_or(1, |last| last + 1);
    }
    letters.into_iter().collect()
}

/// Where the digits are that begin here, with at most one blank or hyphen between two of them.
fn run_of_digits(letters: &[char]) -> Vec<usize> {
    let mut digits = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let may_separate = matches!(letter, ' ' | '-') && digits.last().is_some_and(|last| last + 1 == at);
        if letter.is_ascii_digit() {
            digits.push(at);
        } else if !may_separate {
            break;
        }
    }
    digits
}

/// Source: ISO/IEC 7812-1, annex B: the check digit.
fn is_card(digits: &[char]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit })
        .sum();
    CARD_DIGITS.contains(&digits.len()) && sum.is_multiple_of(10)
}

/// By country, what its postal codes look like: `A` a letter, `9` a digit, `X` either. Blanks do not count.
///
/// Observed (summary of the changelog): 40 countries are checked. Assumed: these are among them.
const POSTCODES: [(&str, &[&str]); 9] = [
    ("AU", &["9999"]),
    ("CA", &["A9A9A9"]),
    ("DE", &["99999"]),
    ("FR", &["99999"]),
    ("GB", &["A99AA", "A999AA", "AA99AA", "AA999AA", "A9A9AA", "AA9A9AA"]),
    ("IE", &["A9XXXXX"]),
    ("NL", &["9999AA"]),
    ("NZ", &["9999"]),
    ("US", &["99999", "99999-9999"]),
];

/// Whether a country has such a postal code; of a country that is not checked, every text is one.
pub(super) fn is_postcode(country: &str, code: &str) -> bool {
    let code: Vec<char> = code.chars().filter(|letter| *letter != ' ').collect();
    let fits = |pattern: &&str| {
        pattern.len() == code.len()
            && pattern.chars().zip(&code).all(|(wanted, letter)| match wanted {
                'A' => letter.is_ascii_alphabetic(),
                '9' => letter.is_ascii_digit(),
                'X' => letter.is_ascii_alphanumeric(),
                other => *letter == other,
            })
    };
    let checked = POSTCODES.iter().find(|(one, _)| one.eq_ignore_ascii_case(country));
    checked.is_none_or(|(_, patterns)| patterns.iter().any(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_card_is_masked_and_nothing_else() {
        assert_eq!(masked("card 4111 1111-1111 1111, thanks"), "card **** ****-**** 1111, thanks");
        assert_eq!(masked("5500005555555559"), "************5559");
        for text in ["4111111111111112", "Scoffable 812345 v3", "+44 20 7946 0000", "12 - 34", ""] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn postal_codes_are_checked_where_their_form_is_known() {
        for (country, code) in
            [("GB", "EX4 4QJ"), ("gb", "ex44qj"), ("US", "90210-1234"), ("IE", "D02 X285"), ("ZZ", "?")]
        {
            assert!(is_postcode(country, code), "{country} {code}");
        }
        for (country, code) in [("GB", "12345"), ("US", "9021"), ("NZ", "EX4 4QJ"), ("DE", "")] {
            assert!(!is_postcode(country, code), "{country} {code}");
        }
    }
}
