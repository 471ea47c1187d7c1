// The same small place of every picture of a scene, side by side, pixel for pixel.
(() => {
  const stage = document.getElementById("stage");
  const panes = document.getElementById("panes");
  const spot = document.createElement("div");
  spot.id = "spot";
  stage.append(spot);
  let view = null, scene = null, at = [0, 0], times = 2;

  const clamp = (x, low, high) => Math.min(Math.max(x, low), Math.max(low, high));
  const ratio = () => window.devicePixelRatio || 1;

  // How much of the picture a pane shows, in its pixels.
  const room = (canvas) => [canvas.clientWidth, canvas.clientHeight].map((side) => side * ratio() / times);

  function build() {
    panes.replaceChildren(...view.pictures.map((picture) => {
      const pane = document.createElement("figure");
      const name = document.createElement("figcaption");
      name.textContent = name.title = `${picture.alt} ${picture.dataset.note}`;
      pane.append(name, document.createElement("canvas"));
      if (!picture.complete) picture.addEventListener("load", draw, { once: true });
      return pane;
    }));
  }

  function draw() {
    const canvases = [...panes.querySelectorAll("canvas")];
    const [w, h] = room(canvases[0]);
    at = [clamp(at[0], Math.min(w, view.width) / 2, view.width - w / 2), clamp(at[1], Math.min(h, view.height) / 2, view.height - h / 2)];
    const [left, top] = [Math.round(at[0] - w / 2), Math.round(at[1] - h / 2)];
    canvases.forEach((canvas, i) => {
      [canvas.width, canvas.height] = [Math.round(w * times), Math.round(h * times)];
      const paper = canvas.getContext("2d");
      paper.imageSmoothingEnabled = false;
      paper.drawImage(view.pictures[i], -left * times, -top * times, view.width * times, view.height * times);
    });
    Object.assign(spot.style, {
      left: `${view.x + left * view.zoom}px`, top: `${view.y + top * view.zoom}px`,
      width: `${w * view.zoom}px`, height: `${h * view.zoom}px`,
    });
    for (const button of document.querySelectorAll("#details button")) {
      button.setAttribute("aria-pressed", Number(button.dataset.times) === times);
    }
  }

  const move = (dx, dy) => { at = [at[0] + dx, at[1] + dy]; draw(); };

  stage.addEventListener("drawn", (event) => {
    view = event.detail;
    if (view.pictures[0].dataset.scene !== scene) {
      scene = view.pictures[0].dataset.scene;
      at = [view.width / 2, view.height / 2];
      build();
    }
    draw();
  });
  stage.addEventListener("dblclick", (event) => {
    const box = stage.getBoundingClientRect();
    at = [(event.clientX - box.left - view.x) / view.zoom, (event.clientY - box.top - view.y) / view.zoom];
    draw();
  });
  panes.addEventListener("pointerdown", (event) => { if (event.button === 0) panes.setPointerCapture(event.pointerId); });
  panes.addEventListener("pointermove", (event) => {
    if (panes.hasPointerCapture(event.pointerId)) move(-event.movementX / times, -event.movementY / times);
  });
  panes.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 64 : 16;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(...moves[event.key]);
  });
  for (const button of document.querySelectorAll("#details button")) {
    button.addEventListener("click", () => { times = Number(button.dataset.times); draw(); });
  }
  stage.dispatchEvent(new CustomEvent("draw"));
})();
