//! A listener goes on to listen.

use anyhow::ensure;
use serde_json::json;

use crate::scene::{ALL, Scene};
use crate::{Result, on_stage, rounds};

const LISTENER: &str = "#!/bin/sh
while :; do
    printf 'READY\\n'
    read -r head || exit 0
    dd bs=1 count=${head##*len:} 2>/dev/null >> heard
    printf '\\n' >> heard
    printf 'RESULT 2\\nOK'
done
";

#[test]
fn a_listener_listens_on() -> Result {
    on_stage(|s| {
        let program = s.script("listener", LISTENER)?.display().to_string();
        let scene = Scene::start(
            s,
            &format!(
                "[eventlistener:l]\ncommand={program}\ndirectory=%(here)s\nstartsecs=0\n\
                 events=REMOTE_COMMUNICATION\n"
            ),
        )?;
        scene.await_state("l", "RUNNING")?;
        let pid = scene.d.pid_of("l")?;
        let mut sent = String::new();
        for round in 0..rounds(2) {
            for victim in ALL {
                for number in 0..3 {
                    let text = format!("{round}-{victim:?}-{number}");
                    scene.d.sv("sendRemoteCommEvent", &json!(["test", text]))?;
                    sent.push_str(&format!("type:test\n{text}\n"));
                    scene.d.await_text("heard", &text)?;
                }
                scene.strike(victim)?;
                ensure!(scene.d.pid_of("l")? == pid, "{victim:?}");
            }
        }
        scene
            .d
            .sv("sendRemoteCommEvent", &json!(["test", "last"]))?;
        sent.push_str("type:test\nlast\n");
        let heard = scene.d.await_text("heard", "last\n")?;
        ensure!(heard == sent, "{heard:?} instead of {sent:?}");
        Ok(())
    })
}
