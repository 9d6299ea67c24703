/** Tests that happen in a scene: when one fails, it tells what the pages showed and logged, and what the server said. */
import { after, test } from 'node:test';
import { Scene, closeShared } from './scene.mjs';

after(closeShared);

/** scenario(name, async (scene) => …) */
export function scenario(name, body) {
  test(name, async (t) => {
    const scene = await Scene.open((text) => t.diagnostic(text));
    try {
      await body(scene);
      scene.check();
    } catch (error) {
      console.log(await scene.evidence());
      await scene.close().catch(() => {}); // the test's own failure is the one to report
      throw error;
    }
    await scene.close();
  });
}
