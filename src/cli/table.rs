//! Columns for people: as wide as their widest cell, two spaces apart.

use std::io::{self, Write};

/// Writes a heading and rows, indented by two spaces. Cells of one row may be fewer than the headings.
pub fn write(out: &mut impl Write, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    for row in [&headings].into_iter().chain(rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();

        write(&mut out, &["a", "heading"], &[vec!["läng".into(), "x".into()], vec!["1".into()]]).unwrap();

        assert_eq!(String::from_utf8(out).unwrap(), "  a     heading\n  läng  x\n  1\n");
    }
}
