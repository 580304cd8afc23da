//! `darner get` from the kernel's nginx.

use std::fs;

use crate::world::{KERNEL, World};

#[test]
fn get_fetches_from_nginx() {
    let world = World::new("get");
    let folder = world.folder.display().to_string();
    let bytes: Vec<u8> =
        (0..30_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(world.folder.join("file"), &bytes).expect("ours");
    fs::write(
        world.folder.join("nginx.conf"),
        format!(
            "daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; user root;\n\
             events {{}}\n\
             http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n\
             fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             server {{ listen 80; root {folder}; }} }}\n"
        ),
    )
    .expect("ours");
    let mut nginx = world
        .command("nginx")
        .args(["-c", &format!("{folder}/nginx.conf")])
        .spawn()
        .expect("nginx");
    let darner = world.darner(&format!("get http://{KERNEL}/file --output {folder}/got"));
    let ended = darner.wait();
    // Asked to, it takes its workers along.
    world.kernel(&format!("kill -TERM {}", nginx.id()));
    let _ = nginx.wait();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert!(fs::read(world.folder.join("got")).expect("get wrote it") == bytes);
}
