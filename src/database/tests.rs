use super::*;

fn vars<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
    move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
}

#[test]
fn a_postgres_url_of_either_scheme_is_taken_as_it_is() {
    use secrecy::ExposeSecret;
    for raw in ["postgres://sync@localhost/sync", "postgresql://sync:pw@db:5433/sync?sslmode=require"] {
        match DatabaseSource::parse(raw).unwrap() {
            DatabaseSource::Url(url) => assert_eq!(url.expose_secret(), raw),
            DatabaseSource::Embedded { .. } => panic!("{raw} is a URL"),
        }
    }
}

#[test]
fn embedded_with_a_folder_keeps_its_data_there() {
    match DatabaseSource::parse("embedded:/srv/orders").unwrap() {
        DatabaseSource::Embedded { dir } => assert_eq!(dir, Path::new("/srv/orders")),
        DatabaseSource::Url(_) => panic!("not a URL"),
    }
}

#[test]
fn a_relative_folder_is_made_absolute_at_once() {
    match DatabaseSource::parse("embedded:data").unwrap() {
        DatabaseSource::Embedded { dir } => assert!(dir.is_absolute() && dir.ends_with("data")),
        DatabaseSource::Url(_) => panic!("not a URL"),
    }
}

#[test]
fn an_unknown_form_is_refused_without_repeating_it() {
    for raw in ["", "mysql://root:hunter2@db/x", "embedded:", "embeded", "root:hunter2@db"] {
        let error = DatabaseSource::parse(raw).unwrap_err();
        assert_eq!(error, InvalidDatabaseSource::UnknownForm);
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn neither_debug_nor_display_shows_the_password() {
    let source = DatabaseSource::parse("postgres://sync:hunter2@db/sync").unwrap();
    assert!(!format!("{source:?} {source}").contains("hunter2"));
}

#[test]
fn the_default_folder_follows_who_runs_us() {
    let home = [("HOME", "/home/ada")];
    let xdg = [("HOME", "/home/ada"), ("XDG_STATE_HOME", "/state")];
    let relative = [("HOME", "/home/ada"), ("XDG_STATE_HOME", "state")];
    let service = [("STATE_DIRECTORY", "/var/lib/private/one:/var/lib/two"), ("HOME", "/")];

    assert_eq!(default_dir_for(true, vars(&home)), Some("/var/lib/scoffable-sync".into()));
    assert_eq!(default_dir_for(false, vars(&home)), Some("/home/ada/.local/state/scoffable-sync".into()));
    assert_eq!(default_dir_for(false, vars(&xdg)), Some("/state/scoffable-sync".into()));
    assert_eq!(default_dir_for(false, vars(&relative)), Some("/home/ada/.local/state/scoffable-sync".into()));
    assert_eq!(default_dir_for(false, vars(&service)), Some("/var/lib/private/one".into()));
    assert_eq!(default_dir_for(false, vars(&[])), None);
}
