//! The command line as scripts and people meet it.

mod common;

use std::process::Command;

use common::{Project, fixture, foldline, output};

/// The verbs of `foldline --help`.
fn verbs() -> Vec<String> {
    let help = output(foldline().arg("--help")).exits(0).stdout;
    let list = help.split("Commands:").nth(1).expect("help lists the commands");
    let list = list.split("\n\n").next().unwrap();
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(String::from)
        .collect()
}

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn help_as_it_is_shown() {
    insta::assert_snapshot!(output(foldline().arg("--help")).exits(0).stdout);
}

#[test]
fn help_of_a_run_as_it_is_shown() {
    insta::assert_snapshot!(output(foldline().args(["run", "--help"])).exits(0).stdout);
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    output(foldline().arg("rebiuld")).exits(2);
    output(foldline().args(["run", "--no-such-option"])).exits(2);
}

/// The commands of the README's table, each with whether it is built.
fn listed() -> Vec<(String, bool)> {
    let readme = readme();
    let table = readme.split("## Commands").nth(1).expect("README has the section").split("\n## ").next().unwrap();
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| `foldline "))
        .map(|rest| (rest.split([' ', '`']).next().unwrap().to_string(), !rest.contains("not built yet")))
        .collect()
}

#[test]
fn the_readme_lists_the_commands_of_the_help_and_those_that_are_not_built_yet() {
    let mut built: Vec<String> = listed().into_iter().filter(|(_, built)| *built).map(|(verb, _)| verb).collect();
    let mut shown = verbs();
    built.sort();
    shown.sort();
    assert_eq!(built, shown);

    let project = Project::shop_without_logs();
    for (verb, _) in listed().into_iter().filter(|(_, built)| !built) {
        let said = project.foldline(&[&verb, "anything", "--at-all"]).exits(2).stderr;
        assert!(said.contains("not built yet"), "{verb}: {said}");
    }
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let readme = readme();
    let mut seen = 0;
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for line in block.lines().filter(|line| line.starts_with("foldline ")) {
            let words: Vec<&str> = line.split(" #").next().unwrap().split_whitespace().skip(1).collect();
            let verb = words.iter().find(|word| !word.starts_with('-')).expect("a verb");
            assert!(verbs().iter().any(|v| v == verb), "`{line}`");
            let help = output(foldline().args([verb, "--help"])).exits(0).stdout;
            for option in words.iter().filter(|word| word.starts_with('-')) {
                let name = option.split('=').next().unwrap();
                assert!(help.contains(name), "`{line}`: `foldline {verb} --help` does not know {name}");
            }
            seen += 1;
        }
    }
    assert!(seen > 3, "the README shows commands");
}

#[test]
fn the_project_file_of_the_readme_is_the_shop() {
    let readme = readme();
    let shop = std::fs::read_to_string(fixture("shop/foldline.toml")).unwrap();
    let mut seen = 0;
    for block in readme.split("```toml\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            // The README may say more or less in comments; what foldline reads is the same.
            let line = line.split(" #").next().unwrap().trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            assert!(shop.lines().any(|l| l.split(" #").next().unwrap().trim_end() == line), "not in the shop's project file: {line}");
            seen += 1;
        }
    }
    assert!(seen > 20, "the README shows the project file");
}

#[test]
fn the_shop_passes_check_and_test() {
    let project = Project::shop();
    project.foldline(&["check"]).exits(0);
    let tested = project.foldline(&["test"]).exits(0);
    for name in ["a cancelled order keeps its total", "a shipped order cannot be cancelled"] {
        assert!((tested.stdout.clone() + &tested.stderr).contains(name), "{}{}", tested.stdout, tested.stderr);
    }
}

#[test]
fn gharchive_passes_check_and_test() {
    let project = Project::new(&std::fs::read_to_string(fixture("gharchive/foldline.toml")).unwrap());
    project.foldline(&["check"]).exits(0);
    project.foldline(&["test"]).exits(0);
}

#[test]
fn a_test_that_fails_shows_what_differs() {
    let text = std::fs::read_to_string(fixture("shop/foldline.toml")).unwrap();
    let project = Project::new(&text.replace(r#"total = "3.00" }"#, r#"total = "4.00" }"#));
    let said = project.foldline(&["test"]);
    assert_eq!(said.code, Some(13), "{}{}", said.stdout, said.stderr);
    let said = said.stdout + &said.stderr;
    assert!(said.contains("3.00") && said.contains("4.00"), "{said}");
}

#[test]
fn check_touches_no_data() {
    let project = Project::shop_without_logs();
    project.foldline(&["check"]).exits(0);
    assert!(!project.path(".foldline").exists());
    assert!(!project.path("out").exists());
}

#[test]
fn plan_writes_nothing() {
    let project = Project::shop();
    project.foldline(&["plan"]).exits(0);
    assert!(!project.path("out").exists());
    project.assert_nothing_published();
}

#[test]
fn on_a_pipe_json_is_one_object_and_nothing_else() {
    let project = Project::shop();
    let said = project.foldline(&["run", "--json"]).exits(0);
    assert_eq!(said.stdout.trim_end().lines().count(), 1, "{}", said.stdout);
    let report = said.json();
    assert_eq!(report["outcome"], "published");
    assert_eq!(report["format"], 1);
    assert!(!said.stderr.contains(['\r', '\x1b']), "{:?}", said.stderr);
}

#[test]
fn on_a_pipe_there_is_a_summary_but_neither_bar_nor_color() {
    let project = Project::shop();
    let said = project.foldline(&["run"]).exits(0);
    assert_eq!(said.stdout, "");
    assert!(said.stderr.contains("order_summary"), "{}", said.stderr);
    assert!(!said.stderr.contains(['\r', '\x1b', '━']), "{:?}", said.stderr);
}

#[test]
fn quiet_says_nothing() {
    let project = Project::shop();
    let said = project.foldline(&["run", "-q"]).exits(0);
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
}

#[test]
fn color_can_be_asked_for() {
    let project = Project::shop();
    let said = project.foldline(&["run", "--color", "always"]).exits(0);
    assert!(said.stderr.contains("\x1b["), "{:?}", said.stderr);
}

#[test]
fn an_empty_environment_is_enough() {
    let project = Project::shop();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("foldline"));
    command.env_clear().current_dir(project.path("")).arg("run").stdin(std::process::Stdio::null());
    output(&mut command).exits(0);
}

#[test]
fn variables_are_filled_from_the_option_before_the_environment() {
    let project = Project::shop();
    output(project.command(&["run", "--var", "OUT=by_option"]).env("OUT", "by_environment")).exits(0);
    assert!(project.path("by_option/order_summary.parquet").exists());
    assert!(!project.path("by_environment").exists());
}

#[test]
fn a_project_may_lie_in_another_folder() {
    let project = Project::shop();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = project.path("foldline.toml");
    output(foldline().current_dir(elsewhere.path()).args(["run", "--project"]).arg(&file)).exits(0);
    assert!(project.path("out/order_summary.parquet").exists());
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn status_names_the_generation() {
    let project = Project::shop();
    project.foldline(&["run"]).exits(0);
    let status = project.foldline(&["status"]).exits(0);
    assert!(status.stdout.contains("order_summary"), "{}", status.stdout);
    let json = project.foldline(&["status", "--json"]).exits(0).json();
    assert_eq!(json["generation"], 1, "{json:#}");
}

/// Two items of one order, the later one given first; and the first one once more.
const EARLY: &str = r#"
[[test]]
name = "early and redelivered"
given = [
  { stream = "order-1", type = "OrderPlaced", version = 1, data = { customer_id = "7" } },
  { stream = "order-1", type = "ItemAdded", version = 3, data = { sku = "A", qty = 5, price = "1.00" } },
  { stream = "order-1", type = "ItemAdded", version = 2, data = { sku = "A", qty = 2, price = "1.00" } },
  { stream = "order-1", type = "ItemAdded", version = 2, data = { sku = "A", qty = 2, price = "1.00" } },
]
then = { order = [{ order_id = "1", items = 7 }], sku_sales = [{ sku = "A", sold = 7 }] }
"#;

#[test]
fn given_events_are_sequenced_as_those_of_a_log() {
    let project = Project::shop_without_logs();
    project.append("foldline.toml", EARLY);
    project.foldline(&["test", "early and redelivered"]).exits(0);

    // what still waits in the end is told, not dropped
    let project = Project::shop_without_logs();
    project.append("foldline.toml", EARLY.replace("version = 2", "version = 9"));
    let told = project.foldline(&["test", "early and redelivered"]).exits(13).stdout;
    assert!(told.contains("given event 2: stream `order-1` jumps from version 1 to 3"), "{told}");
}
