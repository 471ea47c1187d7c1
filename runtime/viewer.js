"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const [stage, frame, handle, wipe, left, right] = ["stage", "pictures", "handle", "wipe", "left", "right"].map($);
  const scene = document.querySelector("#scene");  // where there are several
  const all = [...frame.querySelectorAll("img")];
  const scenes = [...new Set(all.map((one) => one.dataset.scene))];
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
  const pixel = () => 1 / (window.devicePixelRatio || 1);  // 100 %: a pixel of the picture is one of the screen
  let pictures = [], width = 1, height = 1;  // of the scene that is shown
  let line = 0.5, zoom = 1, x = 0, y = 0, fits = true;

  const fit = () => Math.min(stage.clientWidth / width, stage.clientHeight / height);

  function draw() {
    const [w, h] = [stage.clientWidth, stage.clientHeight];
    if (fits) zoom = fit();
    // A picture smaller than the window stands in its middle; a larger one leaves no gap.
    const place = (at, size, room) => size <= room ? (room - size) / 2 : clamp(at, room - size, 0);
    x = place(x, width * zoom, w);
    y = place(y, height * zoom, h);
    frame.style.transform = `translate(${x}px, ${y}px) scale(${zoom})`;
    handle.style.left = `${line * w}px`;
    const [above, below] = [pictures[left.value], pictures[right.value]];
    const cut = clamp((line * w - x) / zoom, 0, width);
    for (const one of all) {
      one.classList.toggle("shown", one === above || one === below);
      one.style.zIndex = one === above ? 1 : 0;
      one.style.clipPath = one === above && one !== below ? `inset(0 ${width - cut}px 0 0)` : "none";
    }
    $("left-name").textContent = above.alt;
    $("right-name").textContent = below.alt;
    wipe.value = Math.round(line * 1000);
    wipe.setAttribute("aria-valuetext", `${Math.round(line * 100)} percent of ${above.alt}`);
    const percent = zoom / pixel();
    $("zoom").textContent = `${Math.round(percent * 100)} %`;
    stage.classList.toggle("near", percent >= 1.99);
    stage.classList.toggle("pans", larger());
    const near = (wanted) => !fits && Math.abs(percent - wanted) < 1e-6;
    $("fit").setAttribute("aria-pressed", fits);
    $("one").setAttribute("aria-pressed", near(1));
    $("two").setAttribute("aria-pressed", near(2));
    stage.dispatchEvent(new CustomEvent("drawn", { detail: { pictures, width, height, x, y, zoom } }));
  }

  // The pictures of one scene; those that were looked at stay, by their names, where it has them too.
  function choose(name) {
    const named = [left, right].map((select) => select.selectedOptions[0]?.text);
    pictures = all.filter((one) => one.dataset.scene === name);
    [width, height] = ["width", "height"].map((name) => Number(pictures[0].getAttribute(name)));
    [left, right].forEach((select, side) => {
      const again = pictures.findIndex((one) => one.alt === named[side]);
      const chosen = again < 0 ? Math.min(side, pictures.length - 1) : again;
      select.replaceChildren(...pictures.map((one, i) => new Option(one.alt, i, i === chosen, i === chosen)));
    });
    if (scene) scene.value = name;
    fits = true;
    draw();
  }

  const larger = () => width * zoom > stage.clientWidth + 1 || height * zoom > stage.clientHeight + 1;
  const move = (to) => { line = clamp(to, 0, 1); draw(); };
  const pan = (dx, dy) => { x += dx; y += dy; draw(); };
  const whole = () => { fits = true; draw(); };

  // The point of the picture under (cx, cy) stays there.
  function enlarge(to, cx = stage.clientWidth / 2, cy = stage.clientHeight / 2) {
    to = clamp(to, Math.min(fit(), pixel()), 16 * pixel());
    x = cx - (cx - x) * to / zoom;
    y = cy - (cy - y) * to / zoom;
    [zoom, fits] = [to, false];
    draw();
  }

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };

  const fingers = new Map();
  let drags = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    drags = fingers.size > 1 ? "zoom" : event.target === handle || !larger() ? "line" : "picture";
    if (drags === "line") move(at(event)[0] / stage.clientWidth);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [before, now] = [fingers.get(event.pointerId), at(event)];
    if (drags === "line") move(now[0] / stage.clientWidth);
    if (drags === "picture") pan(now[0] - before[0], now[1] - before[1]);
    if (drags === "zoom") {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        enlarge(zoom * apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
    }
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    stage.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      drags = fingers.size && larger() ? "picture" : null;
    });
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 400 : 1;
    enlarge(zoom * Math.exp(-clamp(event.deltaY * lines, -300, 300) / 400), ...at(event));
  }, { passive: false });

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey) return;
    const step = event.shiftKey ? 0.1 : 0.01;
    const pans = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    const does = {
      ArrowLeft: () => move(line - step), ArrowRight: () => move(line + step),
      Home: () => move(0), End: () => move(1),
      "+": () => enlarge(zoom * 1.25), "=": () => enlarge(zoom * 1.25), "-": () => enlarge(zoom / 1.25),
      0: whole, 1: () => enlarge(pixel()), 2: () => enlarge(2 * pixel()),
    };
    const action = event.altKey ? pans[event.key] && (() => pan(...pans[event.key])) : does[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  wipe.addEventListener("input", () => move(wipe.value / 1000));
  $("fit").addEventListener("click", whole);
  $("one").addEventListener("click", () => enlarge(pixel()));
  $("two").addEventListener("click", () => enlarge(2 * pixel()));
  for (const select of [left, right]) select.addEventListener("change", draw);
  scene?.replaceChildren(...scenes.map((name) => new Option(name, name)));
  scene?.addEventListener("change", () => choose(scene.value));
  stage.addEventListener("choose", (event) => choose(event.detail));
  stage.addEventListener("draw", draw);
  choose(scenes[0]);
  new ResizeObserver(draw).observe(stage);
})();
