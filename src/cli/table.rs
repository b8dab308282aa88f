//! Plain tables for people: columns as wide as their longest cell, two spaces between.
//!
//! Called by the commands that list things. Widths count characters. Errors: none.
//! Absent on purpose: colours and borders; the output must survive a copy into a report.

/// Lines of a table; `right` tells which columns hold numbers.
pub fn render(header: &[&str], right: &[bool], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate().take(widths.len()) {
            let gap = if column == 0 { "" } else { "  " };
            let width = widths[column];
            match right.get(column) {
                Some(true) => line.push_str(&format!("{gap}{cell:>width$}")),
                _ => line.push_str(&format!("{gap}{cell:<width$}")),
            }
        }
        format!("{}\n", line.trim_end())
    };
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(header.to_vec())).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "22".into()]];
        let table = render(&["name", "n"], &[false, true], &rows);
        assert_eq!(table, "name   n\na      1\nlong  22\n");
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(render(&["a", "b"], &[], &[]), "a  b\n");
    }
}
