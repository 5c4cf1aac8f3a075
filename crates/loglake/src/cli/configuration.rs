//! `loglake configuration`: every setting, as `docs/configuration.md` has it.

#[derive(clap::Args)]
pub struct ConfigurationArgs {}

pub async fn run(_: ConfigurationArgs) -> anyhow::Result<()> {
    print!("{}", crate::settings::markdown());
    Ok(())
}
