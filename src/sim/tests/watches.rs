//! Lists and watches.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_a_list_and_ends_at_its_timeout_with_a_bookmark() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::default()));
    rolled_out(&sim).await;
    let api: Api<core::Pod> = Api::namespaced(sim.client(), "shop");
    let list = api.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(20);
    let mut events = std::pin::pin!(api.watch(&params, &version).await.unwrap());
    let victim = list.items[0].metadata.name.clone().unwrap();
    sim.delete_pod("shop", &victim, None);
    let (mut added, mut deleted, mut last) = (0, Vec::new(), false);
    while let Some(event) = events.try_next().await.unwrap() {
        last = matches!(event, WatchEvent::Bookmark(_));
        match event {
            WatchEvent::Added(_) => added += 1,
            WatchEvent::Deleted(pod) => deleted.push(pod.metadata.name.unwrap()),
            _ => {}
        }
    }
    assert_eq!((added, deleted, last), (1, vec![victim], true));
}

#[tokio::test(start_paused = true)]
async fn a_compacted_version_is_gone_and_the_watcher_lists_again() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::default()));
    rolled_out(&sim).await;
    sim.compact();
    let api: Api<core::Pod> = Api::all(sim.client());
    let mut events = std::pin::pin!(api.watch(&WatchParams::default(), "101").await.unwrap());
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, &*status.reason), (410, "Expired")),
        other => panic!("{other:?}"),
    }
    // kube's own watcher comes back with the same three pods.
    let stream = kube::runtime::watcher(api, kube::runtime::watcher::Config::default());
    let mut stream = std::pin::pin!(stream);
    let mut listed = 0;
    let mut rounds = 0;
    while rounds < 2 {
        use kube::runtime::watcher::Event;
        match stream.next().await.unwrap() {
            Ok(Event::InitApply(_)) => listed += 1,
            Ok(Event::InitDone) => {
                rounds += 1;
                assert_eq!(listed, 3 * rounds);
                // Let the watch open before its version goes.
                tokio::time::sleep(SECOND).await;
                sim.tasks.spawn({
                    let sim = sim.clone();
                    async move {
                        tokio::time::sleep(SECOND).await;
                        sim.expire_watches();
                    }
                });
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_object_once() {
    let sim = sim();
    sim.apply(Deployment { replicas: 25, ..web("shop/web:1", Program::default()) });
    rolled_out(&sim).await;
    let api: Api<core::Pod> = Api::all(sim.client());
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(7);
    loop {
        let page = api.list(&params).await.unwrap();
        assert!(page.items.len() <= 7);
        names.extend(page.items.into_iter().map(|pod| pod.metadata.name.unwrap()));
        match page.metadata.continue_ {
            Some(token) => params.continue_token = Some(token),
            None => break,
        }
    }
    let all = names.len();
    names.dedup();
    assert_eq!((all, names.len()), (25, 25));
}
