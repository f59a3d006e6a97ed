//! A small chart of the last day, hour by hour, as inline SVG and as a table for those who do not see it. Pure.

use maud::{Markup, html};

use crate::store::status::{Hour, MOST_ATTEMPTS};

const HEIGHT: i64 = 100;
const STEP: i64 = 20;
const BAR: i64 = 8;

pub fn activity(hours: &[Hour]) -> Markup {
    let most = hours.iter().map(|hour| hour.orders.max(hour.delivered).max(hour.failed)).max().unwrap_or_default();
    let width = STEP * hours.len() as i64;
    // At least a hair, so that one of thousands is seen.
    let height = |n: i64| if n == 0 { 0 } else { (n * HEIGHT / most.max(1)).max(1) };
    html! {
        figure {
            svg viewBox=(format!("0 0 {width} {}", HEIGHT + 14)) role="img" aria-labelledby="chart-title" {
                title id="chart-title" {
                    "Orders, deliveries and failed calls in each of the last " (hours.len()) " hours; at most " (most) " in one"
                }
                @for (n, hour) in (0_i64..).zip(hours) {
                    @let (x, orders, delivered, failed) = (n * STEP, height(hour.orders), height(hour.delivered), height(hour.failed));
                    rect.orders x=(x) y=(HEIGHT - orders) width=(2 * BAR) height=(orders) {}
                    rect.delivered x=(x + 1) y=(HEIGHT - delivered) width=(BAR - 1) height=(delivered) {}
                    rect.failed x=(x + BAR) y=(HEIGHT - failed) width=(BAR - 1) height=(failed) {}
                    @if n % 6 == 0 { text x=(x) y=(HEIGHT + 12) { (hour.begins_at.format("%H:%M")) } }
                }
                line x1="0" y1=(HEIGHT) x2=(width) y2=(HEIGHT) {}
            }
            figcaption {
                span.key.orders {} "orders worked on "
                span.key.delivered {} "delivered "
                span.key.failed {} "failed calls (UTC)"
                @if hours.len() < 24 { "; of more than " (MOST_ATTEMPTS) " calls a day, the newest hours" }
            }
            details {
                summary { "The same as a table" }
                div.scroll tabindex="0" role="region" aria-label="Orders and deliveries by hour" {
                    table {
                        thead { tr { th scope="col" { "Hour" } th scope="col" { "Orders" } th scope="col" { "Delivered" } th scope="col" { "Failed" } } }
                        tbody {
                            @for hour in hours.iter().rev() {
                                tr {
                                    th scope="row" { (hour.begins_at.format("%Y-%m-%d %H:%M")) }
                                    td.n { (hour.orders) } td.n { (hour.delivered) } td.n { (hour.failed) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn bars_share_one_scale_and_one_of_thousands_is_seen() {
        let hour = |orders, delivered, failed| Hour { begins_at: DateTime::UNIX_EPOCH, orders, delivered, failed };

        let drawn = activity(&[hour(2_000, 1_000, 1), hour(0, 0, 0)]).into_string();

        for bar in [
            "x=\"0\" y=\"0\" width=\"16\" height=\"100\"",
            "y=\"50\" width=\"7\" height=\"50\"",
            "y=\"99\" width=\"7\" height=\"1\"",
            "x=\"20\" y=\"100\" width=\"16\" height=\"0\"",
        ] {
            assert!(drawn.contains(bar), "{bar} in {drawn}");
        }
        assert!(activity(&[]).into_string().contains("at most 0"));
    }
}
